/** Options of `studioHandler()`. */
export interface StudioOptions {
  /**
   * Says whether a request comes from somebody who may see everything that is stored. A handler with it answers under every
   * name, or under those of `hosts`. Default: nobody is asked, and only requests to localhost, 127.0.0.1 and [::1] are answered.
   * A `Request` does not say who sent it, so without `authorize` the server must listen on a loopback address.
   */
  authorize?: ((request: Request) => boolean | Promise<boolean>) | undefined
  /** Lets the page answer approvals. Default false: the page changes nothing. */
  write?: boolean | undefined
  /** The path under which the handler is mounted, such as `/admin/studio`. Default `/`. */
  basePath?: string | undefined
  /**
   * The hosts under which the handler is reached, with their ports, such as `agents.example.com` or `127.0.0.1:8080`. Requests
   * to other hosts are refused. Default: every host with `authorize`, else every port of localhost, 127.0.0.1 and [::1].
   */
  hosts?: readonly string[] | undefined
}

/** Options of `startStudio()`. */
export interface StartStudioOptions {
  /** The port on 127.0.0.1. Default 0: any free port. */
  port?: number | undefined
  /** Lets the page answer approvals. Default false: the page changes nothing. */
  write?: boolean | undefined
}

/** A running server of Studio. */
export interface StudioServer extends AsyncDisposable {
  /** The link that opens the page. Its fragment holds the token, so whoever has the link sees everything. */
  readonly url: string
  readonly port: number
  /** Ends all connections and frees the port. The storage stays open. Safe to repeat. */
  close(): Promise<void>
}
