import { expect, it } from 'vitest'
import { WHERE_FOR_IF } from '../../scripts/prose-rules.ts'
import { pages, pageText } from './pages.ts'

const texts = [...pages, 'CHANGELOG.md', 'examples/agent/README.md', 'examples/quickstart/README.md'].map((page) => ({
  page,
  text: pageText(page),
}))

/** Names that are gone. Each has a successor, so that a page that uses the old one sends its reader nowhere. */
const RETIRED =
  /\b(ledger|recognition|recogniser|Companion|LateDb|CachedRows|CachedValues|togetherCases|ApprovalRequest|ToolPreferenceLists|putOptionsSchema|toolPreferencesSchema|exact-json|holdLedger)\b|\bReply\b|\bpages\(\)/

it.each(texts)('$page uses no retired name', ({ text }) => {
  expect(text.split('\n').filter((line) => RETIRED.test(line))).toEqual([])
})

/** Returns the prose of a page: no code, and none of CONTRIBUTING's samples of what not to write. */
function proseOf(text: string): string[] {
  return text
    .replaceAll(/^```.*?^```/gms, '')
    .replaceAll(/^\| before \| after \|\n(\|.*\n)*/gm, '')
    .split('\n')
}

it.each(texts)('$page writes "if" for a condition', ({ text }) => {
  expect(proseOf(text).filter((line) => WHERE_FOR_IF.test(line) && !line.includes('"where"'))).toEqual([])
})

it.each(texts)('$page has no fragment behind a semicolon', ({ text }) => {
  expect(proseOf(text).filter((line) => /; (how many|whether|undefined where)\b/.test(line))).toEqual([])
})
