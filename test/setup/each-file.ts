import { failOnLeaks } from './leaks.ts'

// Set up before anything of the test file is, hence checked after all of its own hooks.
failOnLeaks()
