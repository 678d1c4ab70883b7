// A customer's program: it knows the API only by the types that openapi-typescript made from the document.
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

const [url, token] = process.argv.slice(2);
const client = createClient<paths>({ baseUrl: url, headers: { Authorization: `Bearer ${token}` } });

const body: components["schemas"]["TenantCreate"] = {
  name: "from-typescript",
  labels: { tier: "gold" },
  spec: { compute: { provider: "cloud", config: { image: "web:1" } } },
};
const made = await client.POST("/v1/tenants", { body });
if (made.error) throw new Error(`${made.error.code}: ${made.error.detail}`);
const execution: string | null = made.data.workflow_execution_id;

const read = await client.GET("/v1/tenants/{name}", { params: { path: { name: "from-typescript" } } });
if (read.error) throw new Error(read.error.detail);
const tier: string | undefined = read.data.labels["tier"];

const patched = await client.PATCH("/v1/tenants/{name}", {
  params: { path: { name: "from-typescript" } },
  body: { labels: { tier: null, team: "blue" } },
});
if (patched.error) throw new Error(patched.error.detail);
if (!("labels" in patched.data)) throw new Error("a plan, though no dry run was asked for");
const team: string | undefined = patched.data.labels["team"];

const missing = await client.GET("/v1/tenants/{name}", { params: { path: { name: "nobody" } } });
const code: string | undefined = missing.error?.code;

console.log(JSON.stringify({ execution, tier, team, code }));
