// Pages through long lists with @gitbeaker/rest, and prints for each walk: its name, and how many entries and ids it
// saw. node lists.mjs FOLDER, where FOLDER holds package.json and node_modules.
import { createRequire } from "node:module";
import path from "node:path";

const { Gitlab } = createRequire(path.join(path.resolve(process.argv[2]), "package.json"))("@gitbeaker/rest");
const root = new Gitlab({ host: process.env.LATCHKEY_URL, token: process.env.LATCHKEY_TOKEN, rateLimits: { "**": 100_000 } });

async function walk(name, list) {
  try {
    const ids = (await list()).map((entry) => entry.id);
    console.log(`${name}\t${ids.length} ${new Set(ids).size}`);
  } catch (error) {
    console.log(`${name}\t${error.cause?.response?.status ?? error}`);
  }
}

for (const pagination of ["offset", "keyset"]) {
  for (const direction of ["asc", "desc"]) {
    for (const order of ["id", "created_at", "updated_at", "name", "username"]) {
      await walk(`users ${order} ${direction} ${pagination}`, () => root.Users.all({ perPage: 100, orderBy: order, sort: direction, pagination }));
    }
    for (const order of ["id", "created", "updated", "expires", "name", "last_used"]) {
      await walk(`tokens ${order} ${direction} ${pagination}`, () =>
        root.PersonalAccessTokens.all({ perPage: 100, sort: `${order}_${direction}`, pagination }),
      );
    }
  }
}
