// netbox: a real AT Protocol network on loopback (PLC, PDS, AppView, Ozone), built from the published
// @atproto packages. Prints one JSON line when it is up, then stays until SIGTERM/SIGINT.
//
//   node netbox.mjs [--control PORT] [--plc PORT] [--pds PORT] [--appview PORT] [--ozone PORT]
//                   [--pgbin FOLDER] [--patience FACTOR] [--tied]
//
// PostgreSQL and Redis are started here, in a temporary folder, unless DB_POSTGRES_URL / REDIS_HOST name running ones;
// --pgbin is the folder of initdb and postgres. --patience lengthens every wait on a slow machine. With --tied the box
// stops when its standard input ends, so that nothing outlives whoever started it.
// Everything else (create accounts and identities, wait for the AppView, pump labels) is asked over HTTP: see `commands`.
import { spawn, execFileSync } from 'node:child_process'
import fs from 'node:fs'
import http from 'node:http'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { parseArgs } from 'node:util'
import './loopback.cjs'

const { values: opts } = parseArgs({
  options: {
    ...Object.fromEntries(
      ['control', 'plc', 'pds', 'appview', 'ozone', 'pgbin', 'patience'].map((name) => [name, { type: 'string' }]),
    ),
    tied: { type: 'boolean' },
  },
})
const patience = Number(opts.patience ?? 1)
const port = (name) => (opts[name] ? Number(opts[name]) : undefined)

const freePort = () =>
  new Promise((resolve, reject) => {
    const probe = net.createServer().once('error', reject)
    probe.listen(0, () => {
      const { port } = probe.address()
      probe.close(() => resolve(port))
    })
  })

async function until(what, check, ms = 30_000 * patience) {
  for (const end = Date.now() + ms; Date.now() < end; await new Promise((r) => setTimeout(r, 50))) {
    if (await check().catch(() => false)) return
  }
  throw new Error(`${what} did not come up in ${ms} ms`)
}

const connects = (port) => () =>
  new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1', () => resolve(true) ?? socket.destroy())
    socket.on('error', () => resolve(false))
  })

const workdir = fs.mkdtempSync(path.join(os.tmpdir(), 'netbox-'))
process.env.TMPDIR = workdir // the PDS keeps its data under os.tmpdir()
const children = []

function child(command, args, extra = {}) {
  const proc = spawn(command, args, { stdio: ['ignore', 'ignore', 'inherit'], ...extra })
  proc.gone = new Promise((resolve) => proc.once('exit', resolve))
  children.push(proc)
  return proc
}

async function startPostgres() {
  const bin = opts.pgbin ?? fs.globSync('/usr/lib/postgresql/*/bin').sort().at(-1)
  const data = path.join(workdir, 'pg')
  fs.mkdirSync(data)
  const as = { cwd: '/' }
  if (process.getuid() === 0) {
    // postgres refuses to run as root
    const id = (flag) => Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8' }))
    Object.assign(as, { uid: id('-u'), gid: id('-g') })
    fs.chmodSync(workdir, 0o755)
    fs.chownSync(data, as.uid, as.gid)
  }
  execFileSync(`${bin}/initdb`, ['-D', data, '-U', 'pg', '-A', 'trust', '-N', '-E', 'UTF8', '--locale=C'], {
    ...as,
    stdio: 'ignore',
  })
  const pgPort = await freePort()
  const settings = ['listen_addresses=127.0.0.1', 'fsync=off', 'max_connections=200', `unix_socket_directories=${data}`]
  child(`${bin}/postgres`, ['-D', data, '-p', `${pgPort}`, ...settings.flatMap((s) => ['-c', s])], {
    ...as,
    stdio: 'ignore',
  })
  await until('postgres', async () => {
    execFileSync(`${bin}/pg_isready`, ['-h', '127.0.0.1', '-p', `${pgPort}`, '-q'])
    return true
  })
  return `postgresql://pg@127.0.0.1:${pgPort}/postgres`
}

async function startRedis() {
  const redisPort = await freePort()
  child('redis-server', ['--port', `${redisPort}`, '--bind', '127.0.0.1', '--save', '', '--dir', workdir])
  await until('redis', connects(redisPort))
  return `127.0.0.1:${redisPort}`
}

let network
let stopping
async function stop(code = 0) {
  stopping ??= (async () => {
    await Promise.race([network?.close().catch(() => {}), new Promise((r) => setTimeout(r, 10_000))])
    for (const proc of children.reverse()) proc.kill('SIGINT') // SIGINT: postgres' fast shutdown
    await Promise.all(children.map((proc) => proc.gone))
    fs.rmSync(workdir, { recursive: true, force: true })
    process.exit(code)
  })()
  return stopping
}
process.on('SIGTERM', () => stop())
process.on('SIGINT', () => stop())
if (opts.tied) process.stdin.on('end', () => stop()).on('error', () => stop()).resume()

process.on('uncaughtException', (err) => {
  console.error(err)
  stop(1)
})

const started = Date.now()
process.env.DB_POSTGRES_URL ??= await startPostgres()
process.env.REDIS_HOST ??= await startRedis()

const { TestNetwork } = await import('@atproto/dev-env')
const { Secp256k1Keypair } = await import('@atproto/crypto')
const plcLib = await import('@did-plc/lib')
const { labelPump } = await import('./label-pump.mjs')

// upstream takes only letters here; the number lets several boxes share one PostgreSQL
const schema = `netbox_${[...`${process.pid}`].map((digit) => 'abcdefghij'[digit]).join('')}`
network = await TestNetwork.create({
  dbPostgresSchema: schema,
  plc: { port: port('plc') ?? (await freePort()) },
  pds: { port: port('pds') ?? (await freePort()), hostname: 'localhost', enableDidDocWithSession: true },
  bsky: { port: port('appview') ?? (await freePort()) },
  ozone: { port: port('ozone') ?? (await freePort()), dbMaterializedViewRefreshIntervalMs: 30_000 },
})
const { plc, pds, bsky, ozone } = network
const plcClient = plc.getClient()
const accounts = {}
const pumps = {}

// There is no mail server; what the PDS would send is kept instead.
const mails = []
const { transporter } = pds.ctx.mailer
const sendMail = transporter.sendMail.bind(transporter)
transporter.sendMail = async (mail) => {
  const text = mail.html.replace(/<style[\s\S]*?<\/style>|<[^>]*>/g, ' ').replace(/\s+/g, ' ')
  mails.push({ to: mail.to, subject: mail.subject, text })
  return sendMail(mail)
}

async function xrpc(method, body, headers = {}) {
  const res = await fetch(`${pds.url}/xrpc/${method}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  })
  const out = await res.json()
  if (!res.ok) throw new Error(`${method}: ${res.status} ${JSON.stringify(out)}`)
  return out
}

const commands = {
  // An account on the PDS: {name} -> {did, handle, password, accessJwt, signingKey (hex)}
  async account({ name, password = `${name}-pass` }) {
    const handle = `${name}.test`
    const made = await xrpc('com.atproto.server.createAccount', { handle, email: `${name}@mail.test`, password })
    const { keyLocation } = await pds.ctx.actorStore.getLocation(made.did)
    const signingKey = fs.readFileSync(keyLocation).toString('hex')
    return (accounts[name] = { did: made.did, handle, password, accessJwt: made.accessJwt, signingKey })
  },
  // A did:plc of its own, on no PDS: {services, verificationMethods, alsoKnownAs} -> {did, rotationKey (hex)}
  async identity({ services = {}, verificationMethods = {}, alsoKnownAs = [] }) {
    const key = await Secp256k1Keypair.create({ exportable: true })
    const op = await plcLib.signOperation(
      { type: 'plc_operation', rotationKeys: [key.did()], alsoKnownAs, services, verificationMethods, prev: null },
      key,
    )
    const did = await plcLib.didForCreateOp(op)
    await plcClient.sendOperation(did, op)
    return { did, rotationKey: Buffer.from(await key.export()).toString('hex') }
  },
  // Adds to the DID document of an account of the PDS, as its owner would with signPlcOperation:
  // {did, services: {atproto_labeler: {type, endpoint}}, verificationMethods: {atproto_label: 'did:key:...'}}; null: taken out
  async identify({ did, services = {}, verificationMethods = {} }) {
    await plcClient.updateData(did, pds.ctx.plcRotationKey, (doc) => {
      Object.assign(doc.services, services)
      Object.assign(doc.verificationMethods, verificationMethods)
      for (const part of [doc.services, doc.verificationMethods]) {
        for (const name in part) if (part[name] === null) delete part[name]
      }
      return doc
    })
    for (const { idResolver } of [pds.ctx, bsky.ctx, bsky.dataplane, ozone.ctx]) await idResolver.did.resolve(did, true)
    return plcClient.getDocument(did)
  },
  // What the PDS has sent by mail to an account, the newest last: {name} -> [{to, subject, text}]
  async mails({ name }) {
    return mails.filter(({ to }) => to === `${name}@mail.test`)
  },
  // A fresh k256 key: {} -> {did: 'did:key:...', hex}
  async key() {
    const key = await Secp256k1Keypair.create({ exportable: true })
    return { did: key.did(), hex: Buffer.from(await key.export()).toString('hex') }
  },
  // Waits until PDS, Ozone, AppView and bsync have worked off what they have
  async settle() {
    await network.processAll(15_000 * patience)
    return { settled: true }
  },
  // Number of the last event on the PDS's stream: {} -> {seq}
  async head() {
    return { seq: (await pds.ctx.sequencer.curr()) ?? 0 }
  },
  // Lets a DID act as a member of Ozone's team: {did, role: admin|moderator|triage}
  async ozoneMember({ did, role = 'moderator' }) {
    const add = { admin: 'addAdminDid', moderator: 'addModeratorDid', triage: 'addTriageDid' }[role]
    await ozone[add](did)
    return { did, role }
  },
  // The AppView's missing label ingester: subscribes to the labels of {did} (endpoint and key out of its DID document).
  // {negateAnyCid: true}: a negation undoes the label whatever its cid, as Blacksky's indexer does; else only the same cid
  async pumpLabels({ did, cursor = 0, negateAnyCid = false }) {
    pumps[did]?.close()
    pumps[did] = labelPump({ did, cursor, negateAnyCid, db: bsky.db, idResolver: bsky.ctx.idResolver })
    return { did, cursor }
  },
  async pumpStatus({ did }) {
    return pumps[did]?.status ?? null
  },
  // Makes {did} a labeler whose labels the AppView applies (with redaction) to requests without atproto-accept-labelers
  async defaultLabeler({ did }) {
    bsky.ctx.cfg.labelsFromIssuerDids.push(did)
    return bsky.ctx.cfg.labelsFromIssuerDids
  },
  async info() {
    return info()
  },
}
const control = http.createServer(async (req, res) => {
  let text = ''
  for await (const chunk of req) text += chunk
  const name = new URL(req.url, 'http://x').pathname.slice(1) || 'info'
  try {
    if (!Object.hasOwn(commands, name)) throw new Error(`no command ${name}; there are ${Object.keys(commands)}`)
    const out = await commands[name](text ? JSON.parse(text) : {})
    res.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(out))
  } catch (err) {
    res.writeHead(400, { 'content-type': 'application/json' }).end(JSON.stringify({ error: String(err) }))
  }
})
await new Promise((resolve) => control.listen(port('control') ?? 0, resolve))

for (const name of ['alice', 'bob', 'carol', 'mod']) await commands.account({ name })
await commands.ozoneMember({ did: accounts.mod.did, role: 'admin' })
await commands.settle()

const info = () => ({
  ready: true,
  pid: process.pid,
  startMs,
  rssMb: Math.round(process.memoryUsage().rss / 1e6),
  control: `http://localhost:${control.address().port}`,
  plc: { url: plc.url },
  pds: {
    url: pds.url,
    did: pds.ctx.cfg.service.did,
    firehose: `${pds.url.replace('http', 'ws')}/xrpc/com.atproto.sync.subscribeRepos`,
    adminPassword: 'admin-pass',
  },
  appview: { url: bsky.url, did: bsky.serverDid, labelsFromIssuerDids: bsky.ctx.cfg.labelsFromIssuerDids },
  ozone: { url: ozone.url, did: ozone.ctx.cfg.service.did },
  postgres: process.env.DB_POSTGRES_URL,
  schema: `appview_${schema}`,
  redis: process.env.REDIS_HOST,
  accounts,
})
const startMs = Date.now() - started
console.log(JSON.stringify(info()))
