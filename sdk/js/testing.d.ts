import type { Address, Decision, Octets, Problem } from "./index.js";

/** What a plugin reads in one test. What is left out is absent, empty or a sane value. */
export interface World {
  config?: object;
  secrets?: Record<string, string>;
  session?: { id?: string; listener?: string; remoteIp?: string; remotePort?: number; remoteName?: string; helo?: string; authenticatedAs?: string; iprev?: string; tls?: { version: string; cipher: string; serverName?: string; certificate?: { subject: string; sha256: string; distrust?: string } } };
  sessionNotes?: Record<string, string>;
  envelope?: { id?: string; tenant?: string; messageStream?: string; sender?: string; recipients?: string[]; priority?: number; totalScore?: number };
  messageNotes?: Record<string, string>;
  message?: {
    headers?: [name: string, value: string][];
    parts?: { contentType?: string; disposition?: string; filename?: string; charset?: string; content?: Octets; urls?: string[] }[];
    /** What `read` and `find` see. */
    octets?: Octets;
  };
  /** Buckets, with what is in them. */
  kv?: Record<string, Record<string, string | number>>;
  /** Records by name; a name that is not there does not exist. */
  dns?: Record<string, string[]>;
  /** Zone, subject, A records. */
  blocklists?: Record<string, Record<string, string[]>>;
  http?: (request: { method: string; url: string; headers: [string, string][]; body: Uint8Array }) => { status?: number; headers?: Record<string, string>; body?: string | object };
  verify?: (recipient: Address) => { host: string; reply: { code: number; enhanced: number[] | null; text: string } };
  routing?: { attempt?: number; ageMs?: number; lastError?: string };
  failure?: { permanent?: boolean; phase?: string; class?: string; remoteHost?: string };
  now?: number;
}

/** A relay made up for one test. The whole contract, with limits and grants, is what `baton plugin test` runs. */
export class TestHost {
  constructor(world?: World);
  /** Calls a hook ("connect", "auth", "rcpt", "data", "route", "bounce", "events") and answers its decision. */
  run(plugin: object, hook: string, ...given: unknown[]): Decision | undefined;
  /** What `init` finds wrong with the settings. */
  problems(plugin: object): Problem[];
  /** What stands in a bucket now. */
  kv(bucket: string): Record<string, string | number>;
  /** Changes in order: name of the function, what it was given. */
  edits: unknown[][];
  logs: { level: string; message: string; fields: Record<string, string> }[];
  metrics: Record<string, number>;
}
