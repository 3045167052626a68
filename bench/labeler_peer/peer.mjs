// `@skyware/labeler` as its documentation starts it, told by lines of JSON on standard input what to do; each is
// answered by one line. Times are of the clock that Python calls time.monotonic(), in seconds.
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { LabelerServer } from "@skyware/labeler";

const [did, signingKey, dbPath] = process.argv.slice(2);
const server = new LabelerServer({ did, signingKey, dbPath });
const now = () => Number(process.hrtime.bigint()) / 1e9;

const commands = {
	/** Wait until its database is there. */
	async ready() {
		await server.dbInitLock;
		return {};
	},
	/** Serve on a free port. */
	async listen() {
		await server.app.ready();
		await new Promise((resolve, reject) =>
			server.start({ port: 0, host: "127.0.0.1" }, (error) => error ? reject(error) : resolve())
		);
		return { port: server.app.server.address().port };
	},
	/** Create labels, one when the one before is there, `every` so many seconds at the soonest. */
	async create({ uris, val, every = 0 }) {
		const began = [], ended = [], start = now();
		for (const [at, uri] of uris.entries()) {
			const due = start + at * every;
			if (every && due > now()) await sleep((due - now()) * 1000);
			began.push(now());
			await server.createLabel({ uri, val });
			ended.push(now());
			// Subscribers are written to when the event loop has a turn; awaiting alone gives it none.
			await new Promise(setImmediate);
		}
		return { began, ended };
	},
};

for await (const line of createInterface({ input: process.stdin })) {
	const { command, ...given } = JSON.parse(line);
	console.log(JSON.stringify(await commands[command](given)));
}
process.exit(0);
