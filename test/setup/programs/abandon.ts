/** Starts both servers and creates a directory, prints where they are, and ends without cleaning up. */
import { say } from '../say.ts'
import { startPostgres, startRedis } from '../servers.ts'
import { temporaryDirectory } from '../temporary.ts'

const [postgres, redis] = await Promise.all([startPostgres(), startRedis()])
redis.freeze()
say({ pids: [postgres.pid, redis.pid], directory: temporaryDirectory('scratch') })
