import { checkRowLevelSecurity, disableRowLevelSecurity, enableRowLevelSecurity } from '../../index.ts'
import type { Command } from '../command.ts'
import { EXIT } from '../exit-codes.ts'

export const securityEnable: Command = {
  name: 'security enable',
  summary: 'Has PostgreSQL keep owners apart: gives every table the policies of row-level security.',
  details:
    'Run it as the owner of the tables, after migrate. Programs without database.options.rowLevelSecurity see nothing afterwards. Safe to repeat.',
  async run({ output, configuration }) {
    await enableRowLevelSecurity((await configuration()).config)
    await output.print('every table has its policies: set database.options.rowLevelSecurity to true', { enabled: true })
    return EXIT.ok
  },
}

export const securityDisable: Command = {
  name: 'security disable',
  summary: 'Removes the policies of row-level security.',
  details: 'Programs with database.options.rowLevelSecurity do not open afterwards. Safe to repeat.',
  async run({ output, configuration, confirm }) {
    const { config } = await configuration()
    await confirm('Remove the policies that keep owners apart?')
    await disableRowLevelSecurity(config)
    await output.print('the policies are removed', { enabled: false })
    return EXIT.ok
  },
}

export const securityCheck: Command = {
  name: 'security check',
  summary: 'Checks that every table has its policies, and that they hold for this user.',
  details: 'Exits with 3 if not. Run it as the user of the program. doctor does the same.',
  async run({ output, configuration }) {
    const finding = await checkRowLevelSecurity((await configuration()).config)
    await output.print(finding.message, finding)
    return finding.result === 'ok' ? EXIT.ok : EXIT.findings
  },
}
