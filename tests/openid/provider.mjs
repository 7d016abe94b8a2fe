// A certified OpenID Connect provider, with the accounts, clients and keys of a JSON file.
import { readFileSync } from "node:fs";
import Provider from "oidc-provider";

const { issuer, port, accounts, clients, jwks } = JSON.parse(readFileSync(process.argv[2], "utf8"));

const provider = new Provider(issuer, {
  clients,
  jwks,
  cookies: { keys: ["only for tests"] },
  pkce: { required: () => true },
  scopes: ["openid", "offline_access", "engine"],
  features: { clientCredentials: { enabled: true } },
  claims: { openid: ["sub"], profile: ["preferred_username", "groups", "topics"], email: ["email", "email_verified"] },
  findAccount: (_context, id) =>
    id in accounts ? { accountId: id, claims: () => ({ sub: id, ...accounts[id] }) } : undefined,
});
provider.on("server_error", (_context, error) => console.error(error));
provider.listen(port, "127.0.0.1", () => console.log("ready"));
