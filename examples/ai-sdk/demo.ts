import { killAndRestart } from '../killed.ts'

// Starts the agent, kills it while it answers the third question, and starts it again.

await killAndRestart(import.meta.dirname, 'user: Where do I sleep?')
