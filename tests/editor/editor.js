// An editor without a screen: it starts yaml-language-server and talks to it as editors do.
//
// It waits for the server's messages and never for time to pass. A server that ends early fails
// whatever waits for it.

import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import rpc from 'vscode-jsonrpc/node.js';

const require = createRequire(import.meta.url);
const SERVER = require.resolve('yaml-language-server/bin/yaml-language-server');

/** Where the cursor is, in a text given to `Editor.complete`. */
const CURSOR = '‸';

export class Editor {
  #process;
  #connection;
  #ended;
  #configured;
  #diagnostics = new Map();
  #opened = 0;

  /**
   * Starts a server. `schemas` says which schema counts for which files, as the editor setting
   * `yaml.schemas` does; a file's own first line counts for more.
   */
  static async start(schemas = {}) {
    const editor = new Editor();
    editor.#spawn();
    editor.#answerFor({ schemas, schemaStore: { enable: false }, hover: true, completion: true, validate: true });
    await editor.#ask('initialize', {
      processId: process.pid,
      rootUri: null,
      capabilities: {
        workspace: { configuration: true },
        textDocument: {
          completion: { completionItem: { snippetSupport: true, documentationFormat: ['markdown'] } },
          hover: { contentFormat: ['markdown'] },
        },
      },
    });
    await editor.#connection.sendNotification('initialized', {});
    await editor.#unlessEnded(editor.#configured);
    return editor;
  }

  /** Opens a text under a path of its own; tells what the server finds wrong with it. */
  async open(path, text) {
    const uri = pathToFileURL(path).href;
    const found = new Promise((resolve) => this.#diagnostics.set(uri, resolve));
    await this.#didOpen(uri, text);
    return { uri, diagnostics: await this.#unlessEnded(found) };
  }

  /** What is offered at the cursor: each label with the text that it puts in and its help. */
  async complete(folder, textWithCursor) {
    const at = await this.#openWithCursor(folder, textWithCursor);
    const { items } = await this.#ask('textDocument/completion', at);
    return new Map(
      items.map(({ label, textEdit, documentation }) => [
        label,
        { puts: textEdit.newText, help: documentation?.value ?? documentation },
      ]),
    );
  }

  /** The help that is shown for what stands at a place of an open text. */
  async hover(uri, position) {
    const hover = await this.#ask('textDocument/hover', { textDocument: { uri }, position });
    // The server escapes what Markdown would take for its own.
    return (hover?.contents.value ?? '').replace(/\\([\\`*_{}[\]#+!])/g, '$1');
  }

  async stop() {
    await this.#ask('shutdown');
    await this.#connection.sendNotification('exit');
    await this.#ended;
    this.#connection.dispose();
  }

  #spawn() {
    this.#process = spawn(process.execPath, [SERVER, '--stdio'], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#ended = new Promise((resolve) => this.#process.once('exit', resolve));
    this.#connection = rpc.createMessageConnection(
      new rpc.StreamMessageReader(this.#process.stdout),
      new rpc.StreamMessageWriter(this.#process.stdin),
    );
    this.#connection.onNotification('textDocument/publishDiagnostics', ({ uri, diagnostics }) => {
      this.#diagnostics.get(uri)?.(diagnostics);
    });
    this.#connection.listen();
  }

  // The answer leaves before anything that waits for `#configured` is sent.
  #answerFor(yaml) {
    this.#configured = new Promise((resolve) => {
      this.#connection.onRequest('workspace/configuration', ({ items }) => {
        resolve();
        return items.map(({ section }) => (section === 'yaml' ? yaml : null));
      });
    });
    this.#connection.onRequest('client/registerCapability', () => null);
  }

  #didOpen(uri, text) {
    return this.#connection.sendNotification('textDocument/didOpen', {
      textDocument: { uri, languageId: 'yaml', version: 1, text },
    });
  }

  async #openWithCursor(folder, textWithCursor) {
    const [before, after] = textWithCursor.split(CURSOR);
    this.#opened += 1;
    const uri = pathToFileURL(`${folder}/cursor-${this.#opened}.yaml`).href;
    await this.#didOpen(uri, before + after);
    const lines = before.split('\n');
    return { textDocument: { uri }, position: { line: lines.length - 1, character: lines.at(-1).length } };
  }

  #ask(method, params) {
    return this.#unlessEnded(this.#connection.sendRequest(method, params));
  }

  #unlessEnded(answer) {
    const early = this.#ended.then((code) => {
      throw new Error(`yaml-language-server ended with ${code} before it answered`);
    });
    return Promise.race([answer, early]);
  }
}
