// node verify.mjs BUNDLE PUBLIC_KEY FILE: verifies a signed statement with Sigstore's own packages, and that FILE is one
// of its subjects. Prints the type of the predicate. The page docs/signing.md has the short form.
import { createHash, createPublicKey } from "node:crypto";
import { readFileSync } from "node:fs";
import { bundleFromJSON } from "@sigstore/bundle";
import { toSignedEntity, toTrustMaterial, Verifier } from "@sigstore/verify";

const [bundlePath, keyPath, filePath] = process.argv.slice(2);
const publicKey = createPublicKey(readFileSync(keyPath));
const hint = createHash("sha256").update(publicKey.export({ type: "spki", format: "der" })).digest("base64");

// Sigstore's services (certificates, logs, time stamps) have no part in a signature with a key of one's own.
const none = { certificateAuthorities: [], timestampAuthorities: [], tlogs: [], ctlogs: [] };
const keyOf = (named) => {
  if (named !== hint) throw new Error(`signed with the key ${named}, not with ${hint}`);
  return { publicKey, validFor: () => true };
};
const verifier = new Verifier(toTrustMaterial(none, keyOf), { tlogThreshold: 0, timestampThreshold: 0 });

try {
  const bundle = bundleFromJSON(JSON.parse(readFileSync(bundlePath)));
  verifier.verify(toSignedEntity(bundle));
  const statement = JSON.parse(bundle.content.dsseEnvelope.payload);
  const sha256 = createHash("sha256").update(readFileSync(filePath)).digest("hex");
  if (!statement.subject.some((subject) => subject.digest.sha256 === sha256)) {
    throw new Error(`${filePath} is not a subject of the statement`);
  }
  console.log(statement.predicateType);
} catch (error) {
  console.error(String(error));
  process.exit(1);
}
