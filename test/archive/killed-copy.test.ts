import { killedTests } from './killed.ts'

killedTests('copy')
