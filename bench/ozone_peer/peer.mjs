// The service of `@atproto/ozone`, told by its own OZONE_* variables what to be. What to do is the first argument:
//
//   migrate   make the tables, and end
//   serve     start the service on a free port, say it in one line of JSON, and stay until standard input ends
//
// The package is the one that the network in a box has installed: OZONE_MODULES names a file beside its node_modules.
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'

const packaged = createRequire(process.env.OZONE_MODULES)
const { Database, OzoneService, envToCfg, envToSecrets, readEnv } = await import(
  pathToFileURL(packaged.resolve('@atproto/ozone')).href
)

const env = readEnv()
const cfg = envToCfg(env)
if (process.argv[2] === 'migrate') {
  const database = new Database({ url: cfg.db.postgresUrl, schema: cfg.db.postgresSchema })
  await database.migrateToLatestOrThrow()
  await database.close()
} else {
  const service = await OzoneService.create(cfg, envToSecrets(env))
  const server = await service.start()
  console.log(JSON.stringify({ port: server.address().port }))
  process.stdin.on('end', () => process.exit(0)).resume()
}
