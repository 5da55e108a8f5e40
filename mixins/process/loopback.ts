/** Whether a host, as it stands in a setting, a URL or a Host header without its port, is this very machine's loopback. */
export const isLoopbackHost = (host: string): boolean =>
  /^(localhost|127(\.\d{1,3}){3}|::1|\[::1\])$/i.test(host);
