// Serves a bucket until it is killed, and prints what a blob store needs to use it: `server.ts`.
import { startS3Server } from 'holdfast/testing'
import { say } from '../../../setup/say.ts'

const { config } = await startS3Server()
say(config)
