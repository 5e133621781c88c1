import { failOnLeaks } from './leaks.ts'

// Vitest runs afterAll hooks in reverse order: registered first, this check runs after all hooks of the test file.
failOnLeaks()
