/** The entry point `holdfast/config`: schemas, types and checks for forms and editors. Imports nothing from Node.js. */
export type { Problem } from '../errors.ts'
export { configJsonSchema } from './json-schema.ts'
export type * from './resolved.ts'
export { rootSchema, storageSchema } from './schema.ts'
export { maskSecrets } from './secrets.ts'
export type * from './types.ts'
export type * from './valid.ts'
export { validateConfig } from './validate.ts'
