import { killAndRestart } from '../killed.ts'

// Starts the agent, kills it while it answers the second question, and starts it again.

await killAndRestart(import.meta.dirname, 'user: And tomorrow?')
