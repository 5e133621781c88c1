import { expect, it, onTestFinished, vi } from 'vitest'
import { Progress, progressLine } from '../../src/cli/progress.ts'
import { bytesText, inColumns, inLine, printable } from '../../src/cli/text.ts'

it('a line of progress has the rate, and the time left if the total is known', () => {
  expect(progressLine({ done: 500, unit: 'rows', seconds: 0.5 })).toBe('500 rows · 1,000/s')
  expect(progressLine({ done: 25_000, total: 100_000, unit: 'rows', what: 'messages', seconds: 1 })).toBe(
    'messages: 25,000 of 100,000 rows · 25,000/s · 3 s left',
  )
  expect(progressLine({ done: 1, total: 1000, unit: 'rows', seconds: 10 })).toBe('1 of 1,000 rows · 3 h left')
  expect(progressLine({ done: 10, total: 10, unit: 'rows', seconds: 1 })).toBe('10 of 10 rows · 10/s')
})

it('progress that nobody sees rewritten is a line every ten seconds', () => {
  vi.useFakeTimers({ toFake: ['performance'] })
  onTestFinished(() => void vi.useRealTimers())
  const written: string[] = []
  const progress = new Progress({ write: (text) => written.push(text) }, 'rows')
  for (let second = 1; second <= 25; second++) {
    vi.advanceTimersByTime(1000)
    progress.update(second * 100, 10_000)
  }
  progress.end()
  expect(written).toEqual(['1,000 of 10,000 rows · 100/s · 90 s left\n', '2,000 of 10,000 rows · 100/s · 80 s left\n'])
})

it('printable() shows control characters and marks of direction as escapes', () => {
  expect(printable('a\n\tb\u0007\u001b]52;c;x\u009b\u202e')).toBe('a\n\tb\\u{7}\\u{1b}]52;c;x\\u{9b}\\u{202e}')
})

it('texts are laid out', () => {
  expect(inLine(' a\n b ', 10)).toBe('a b')
  expect(inLine('abcdef', 4)).toBe('abc…')
  expect(
    inColumns([
      ['a', 'b'],
      ['long', 'c'],
    ]),
  ).toBe('a     b\nlong  c')
  expect([bytesText(1), bytesText(1536), bytesText(5 * 1024 ** 3)]).toEqual(['1 byte', '1.5 KiB', '5.0 GiB'])
})
