/** The entry `holdfast/config`: schemas, types and checks without anything of Node.js, for forms and editors. */
export type { Problem } from '../errors.ts'
export { configJsonSchema } from './json-schema.ts'
export type { ResolvedBlobStore, ResolvedCache, ResolvedConfig, ResolvedDatabase } from './resolve.ts'
export { rootSchema, type StorageConfig, storageSchema, type TlsOptions, type ValidStorageConfig } from './schema.ts'
export { maskSecrets } from './secrets.ts'
export { validateConfig } from './validate.ts'
