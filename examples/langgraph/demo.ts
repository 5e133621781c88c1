import { killAndRestart } from '../killed.ts'

// Starts the agent, kills it while it books the third part, and starts it again.

await killAndRestart(import.meta.dirname, 'books: hotel in Flåm')
