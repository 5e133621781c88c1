/** What a database says about the programs that use it. */
export interface DatabaseDescription {
  /** True if they have the search switched on. */
  search: boolean
  /** True if they keep blobs in a local store or in a bucket. */
  hasBlobStore: boolean
}
