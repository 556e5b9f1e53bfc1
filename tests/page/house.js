// A daemon over a file of its own, against a sandbox of the providers: real processes on free ports.

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const PROJECT = join(dirname(fileURLToPath(import.meta.url)), '../..');
const LAPSED = process.env.LAPSED_BINARY ?? join(PROJECT, 'target/debug/lapsed');

/** Only a failing test waits so long. */
const LONGEST = 300_000;

/** Waits for a condition, not for time to pass. */
export async function until(what, holds) {
  const end = Date.now() + LONGEST;
  let last;
  while (Date.now() < end) {
    try {
      last = await holds();
      if (last) return last;
    } catch (error) {
      last = error;
    }
    await new Promise((resolve) => { setTimeout(resolve, 50); });
  }
  throw new Error(`it never came to this: ${what} (last: ${last})`);
}

function start(args, says) {
  const process_ = spawn(LAPSED, args, { env: { PATH: process.env.PATH, NO_COLOR: '1' }, stdio: ['ignore', 'pipe', 'pipe'] });
  let text = '';
  const address = new Promise((resolve, reject) => {
    const heard = (chunk) => {
      text += chunk;
      const found = says.exec(text);
      if (found) resolve(found[1]);
    };
    process_.stdout.setEncoding('utf8').on('data', heard);
    process_.stderr.setEncoding('utf8').on('data', heard);
    process_.on('exit', (code) => reject(new Error(`lapsed ${args[0]} ended with ${code}:\n${text}`)));
  });
  const ended = new Promise((resolve) => { process_.on('exit', resolve); });
  return {
    address,
    log: () => text,
    stop: async () => {
      if (process_.exitCode === null && process_.signalCode === null) process_.kill('SIGTERM');
      await ended;
    },
  };
}

export class House {
  #folder = mkdtempSync(join(tmpdir(), 'lapsed-page-'));
  #sandbox;
  #daemon;

  /** Starts a sandbox and, over `body` (the file from `limits:` on), a daemon. */
  static async start(body, credentials = {}) {
    const house = new House();
    house.#sandbox = start(['sandbox', '--listen', '127.0.0.1:0'], /sandbox: (http:\S+)/);
    house.origin = new URL(await house.#sandbox.address).origin;
    house.credentials = credentials;
    house.write(body);
    house.#daemon = start(
      ['run', '--config', house.file, '--ledger', `sqlite:${join(house.#folder, 'lapsed.db')}`, '--listen', '127.0.0.1:0'],
      /listening on (http:\S+\/)/,
    );
    try {
      house.url = await house.#daemon.address;
      await until('the daemon is ready', async () => (await fetch(`${house.url}readyz`)).ok);
    } catch (error) {
      await house.stop();
      throw error;
    }
    return house;
  }

  get file() {
    return join(this.#folder, 'lapsed.yaml');
  }

  /** Puts another text in the place of the file. */
  write(body) {
    writeFileSync(this.file, `version: 1
mode: enforce
reconcile: {schedule: "* * * * * *", timezone: UTC}
providers:
  academy:
    type: kajabi
    base_url: ${this.origin}/kajabi
    client_id: {value: sandbox-client}
    client_secret: {value: sandbox-secret}
  donations:
    type: revere
    base_url: ${this.origin}/revere
    group_id: sandbox-group
    linked_account_id: sandbox-account
    api_key: {value: ${this.credentials.revere ?? 'sandbox-revere-key'}}
  metered:
    type: lotus
    base_url: ${this.origin}/lotus
    api_key: {value: sandbox.lotus-key}
    organization_id: org_5a4d0b0c000040008000000000000001
${body}...
`);
  }

  async api(path) {
    return (await fetch(`${this.url}api/v1/${path}`)).json();
  }

  /** Until a subscription is in a state. */
  async comesTo(id, ...states) {
    return until(`${id} is ${states}`, async () => states.includes((await this.api(`cancellations/${id}`)).state));
  }

  async stopDaemon() {
    await this.#daemon.stop();
  }

  async stop() {
    await Promise.all([this.#daemon.stop(), this.#sandbox.stop()]);
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
