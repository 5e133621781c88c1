import config from '../../../vitest.config.ts'

/** The project's own configuration, for files that leak on purpose. */
export default { ...config, test: { ...config.test, include: ['test/setup/leaky/*.leak.ts'], reporters: 'json' } }
