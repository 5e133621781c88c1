/**
 * Returns the path that a `file:` url names: `file:///data/a.db` is absolute, and `file:a.db` is relative as in SQLite.
 * Returns undefined for a url with parameters, with a host, or that cannot be decoded. Runs in a browser too.
 */
export function pathOfFileUrl(url: string): string | undefined {
  const [, path] = /^file:(?:\/\/(?:localhost)?(?=\/))?([^?#]+)$/.exec(url) ?? []
  if (path === undefined || path.startsWith('//') || /%2f|%5c/i.test(path)) return undefined
  try {
    return decodeURIComponent(path).replace(/^\/(?=[a-z]:)/i, '') // file:///C:/a.db
  } catch {
    return undefined
  }
}
