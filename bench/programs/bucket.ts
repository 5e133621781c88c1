// Serves a bucket in a process of its own until it is killed, and prints what a blob store needs to use it.
import { startS3Server } from '../../src/testing/s3-server.ts'

const { config } = await startS3Server()
console.log(JSON.stringify(config))
