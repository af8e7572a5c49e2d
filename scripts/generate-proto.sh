#!/bin/sh
# Writes src/envelope/generated/ from proto/outbox.proto. Run it after a change of the proto, and commit what it writes.
# buf and its plugin are fetched by npx: buf's platform packages cannot be locked, so it is no dependency of the project.
# protoc-gen-es stays at 2.10.2: newer ones need Node 22.
set -eu
cd "$(dirname "$0")/.."
npx -y @bufbuild/buf@1.75.0 generate proto --template '{
  "version": "v2",
  "clean": true,
  "plugins": [
    {
      "local": ["npx", "-y", "@bufbuild/protoc-gen-es@2.10.2"],
      "out": "src/envelope/generated",
      "opt": ["target=ts", "import_extension=none"]
    }
  ]
}'
