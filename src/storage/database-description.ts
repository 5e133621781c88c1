import type { SearchSetting } from '../config/types.ts'

/** What a database says about the programs that use it. */
export interface DatabaseDescription {
  /** Which texts they index. */
  search: SearchSetting
  /** True if they keep blobs in a local store or in a bucket. */
  hasBlobStore: boolean
  /** True if the tables have policies of row-level security. False on SQLite. */
  rowLevelSecurity: boolean
}
