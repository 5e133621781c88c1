import { killedTests } from './killed.ts'

killedTests('import')
