import config from '../../../vitest.config.ts'

/** The project's configuration, for test files that leak on purpose. */
export default { ...config, test: { ...config.test, include: ['test/setup/leaky/*.leak.ts'], reporters: 'json' } }
