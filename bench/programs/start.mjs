/**
 * Opens a storage, reads once and closes, as a program does at its start. Given nothing, does nothing: that is Node alone.
 * Prints its peak memory in MiB. JavaScript, because the start of tsx would hide ours.
 */
import { readFileSync } from 'node:fs'

const [url, config = ''] = process.argv.slice(2)
if (url !== undefined) {
  const { openStorage } = await import(url)
  const storage = await openStorage(JSON.parse(config))
  await storage.sessions.get('chat-1')
  await storage.close()
}
console.log(peakMemory() / 2 ** 20)

/** Returns the peak in bytes. Elsewhere than on Linux, where it is not known without the parent's, what is taken now. */
function peakMemory() {
  if (process.platform !== 'linux') return process.memoryUsage.rss()
  const [, kibibytes = ''] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? []
  return Number(kibibytes) * 1024
}
