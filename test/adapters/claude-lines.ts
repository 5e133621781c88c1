import type { SessionStoreEntry } from '@anthropic-ai/claude-agent-sdk'

/** Makes a line of what a user says. */
export const user = (uuid: string, text = uuid): SessionStoreEntry => ({
  type: 'user',
  uuid,
  parentUuid: null,
  timestamp: '2026-01-01T00:00:00.000Z',
  cwd: '/work',
  isSidechain: false,
  message: { role: 'user', content: text },
})

/** Makes a line of the title that a user gives. */
export const title = (customTitle: string): SessionStoreEntry => ({ type: 'custom-title', customTitle })
