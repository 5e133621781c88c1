import { readFileSync } from 'node:fs'

const root = new URL('../../', import.meta.url)
const manifest = JSON.parse(readFileSync(new URL('package.json', root), 'utf8'))

/** The source file of each entry of `exports`, so that no entry is forgotten here. */
const entryPoints = Object.values(manifest.exports)
  .filter((target) => typeof target === 'object') // the others are JSON files
  .map((target) => `../../${target.default.replace('./dist/', 'src/').replace(/\.js$/, '.ts')}`)

/**
 * Names each module after what a program imports: `holdfast/config` rather than `config`.
 * @param {import('typedoc').Application} app
 */
function nameModules(app) {
  app.converter.on('resolveBegin', ({ project }) => {
    for (const child of project.children ?? []) {
      child.name = child.name === 'index' ? manifest.name : `${manifest.name}/${child.name}`
    }
  })
}

/** @type {Partial<import('typedoc').TypeDocOptions>} */
export default {
  name: 'Holdfast',
  entryPoints,
  tsconfig: '../../tsconfig.build.json',
  out: '../../docs/api',
  readme: 'none',
  plugin: [nameModules],
  excludePrivate: true,
  excludeExternals: true, // what a class inherits from a framework is in that framework's own reference
  disableSources: true, // a link to a source needs the address of the repository
  skipErrorChecking: true, // `npm run types` does that, with the TypeScript of the project
  treatWarningsAsErrors: true, // a broken {@link}, a type that a public signature names and no entry exports
  // No entry exports these names, though a public signature shows them. TypeDoc warns of a name here that is exported or gone.
  intentionallyNotExported: [
    'Credentials',
    'Filled',
    'KnownMetadata',
    'NoDetails',
    'OptionsArgument',
    'Same',
    'ServerAddress',
  ],
}
