export { studioHandler } from './handler.ts'
export { startStudio } from './server.ts'
export type { StartStudioOptions, StudioOptions, StudioServer } from './types.ts'
