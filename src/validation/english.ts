import { en } from 'zod/locales'

/** The option of a parse whose errors are shown: zod/mini has no words of its own. */
export const english = { error: en().localeError }
