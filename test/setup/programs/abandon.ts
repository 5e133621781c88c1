/** Starts both servers, a child and a directory, says where they are, and leaves everything as it is. */
import { startPostgres, startRedis } from '../servers.ts'
import { temporaryDirectory } from '../temporary.ts'

const [postgres, redis] = await Promise.all([startPostgres(), startRedis()])
redis.freeze()
console.log(JSON.stringify({ pids: [postgres.pid, redis.pid], directory: temporaryDirectory('scratch') }))
