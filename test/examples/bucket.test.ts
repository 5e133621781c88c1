import { expect, it } from 'vitest'
import { shareFiles } from '../../examples/bucket/bucket.ts'
import { freshDirectory } from '../setup/databases.ts'
import { runScript } from '../setup/processes.ts'

it('two machines share the files of a bucket, and a browser gets them by a URL', async () => {
  expect(await shareFiles(freshDirectory())).toEqual({
    text: '# Report\n',
    download: { text: '# Report\n', disposition: `attachment; filename="report.md"; filename*=UTF-8''report.md` },
    stored: [{ type: 'file', mediaType: 'image/png', url: expect.stringMatching(/^blob:[0-9a-f]{32}$/) }],
    isWhole: true,
  })
})

it('the program runs', async () => {
  const script = runScript('examples/bucket/bucket.ts')
  expect(await script.exit, script.output).toMatchObject({ code: 0 })
  expect(script.output).toContain('isWhole: true')
})
