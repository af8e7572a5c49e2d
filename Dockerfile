# The relay, and (target `shop`) a service that emits, for compose.yaml.
#
#   docker build -t factlib-relay .
#   docker run --read-only --cap-drop ALL -e WAL_PREFIX=shop -e MASTER_DATABASE_URL=… -e KAFKA_BROKERS=… factlib-relay
#
# Node.js 24: from 24.6 on the faster Kafka client runs, which is installed beside. Pin a digest where builds must repeat.
ARG NODE_VERSION=24-alpine

FROM node:${NODE_VERSION} AS build
WORKDIR /src
# First what rarely changes: the layer of the dependencies is kept while only sources change.
COPY package.json package-lock.json .npmrc ./
# No install script is needed (package.json, allowScripts), and none of somebody else's runs.
RUN npm ci --ignore-scripts
COPY tsconfig.json tsup.config.ts README.md CHANGELOG.md LICENSE ./
COPY proto proto
COPY src src
COPY adapters adapters
COPY relay relay
RUN npm run build && mkdir /package && npm pack --ignore-scripts --pack-destination /package

FROM build AS shop
COPY examples examples
USER node
CMD ["node", "--import", "tsx", "examples/drizzle/main.ts"]

# Only what users of the package get: no sources, compilers or tests.
FROM node:${NODE_VERSION} AS install
WORKDIR /app
COPY --from=build /package /package
COPY --from=build /src/package.json /package/
RUN npm install --omit=dev --omit=peer --ignore-scripts --no-audit --no-fund /package/*.tgz \
    "@platformatic/kafka@$(node -p "require('/package/package.json').devDependencies['@platformatic/kafka']")"

FROM node:${NODE_VERSION} AS relay
ENV NODE_ENV=production
WORKDIR /app
COPY --from=install /app/node_modules node_modules
# It writes no file: run it with a read-only root. The user of the image has no rights beyond its own.
USER node
EXPOSE 3001 2112
# Alive, not ready: a restart does not bring Kafka back. Orchestrators ask /livez and /readyz themselves.
HEALTHCHECK --interval=10s --timeout=3s --start-period=15s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.WAL_HEALTH_PORT || 3001}/livez`).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
# node itself, not npx or a shell: SIGTERM reaches it, and it drains.
ENTRYPOINT ["node", "node_modules/factlib/dist/cli.js"]
CMD ["run"]
