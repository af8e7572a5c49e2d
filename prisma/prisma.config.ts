import { defineConfig } from 'prisma/config'

// Only `prisma generate` reads this; programs hand the database's address to their driver adapter.
export default defineConfig({
  schema: 'schema.prisma',
})
