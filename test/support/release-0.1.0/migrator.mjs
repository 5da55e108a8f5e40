import pg from "pg";

// What 0.1.0 used of @mikro-orm/migrations: each class's SQL once, in its order, in one transaction, and its name in a table.

export class Migration {
  statements = [];
  addSql(sql) {
    this.statements.push(sql);
  }
}

export class Migrator {
  static register(orm) {
    orm.config.registerExtension("@mikro-orm/migrator", () => new Migrator(orm.config));
  }

  constructor(config) {
    this.config = config;
  }

  async up() {
    const { tableName, migrationsList } = this.config.get("migrations");
    const client = new pg.Client({ connectionString: this.config.get("clientUrl") });
    await client.connect();
    try {
      await client.query(
        `CREATE TABLE IF NOT EXISTS ${tableName}
         (id serial PRIMARY KEY, name varchar(255) NOT NULL, executed_at timestamptz NOT NULL DEFAULT now())`,
      );
      await client.query("BEGIN");
      const { rows } = await client.query(`SELECT name FROM ${tableName}`);
      for (const MigrationClass of migrationsList) {
        const migration = new MigrationClass();
        if (rows.some(({ name }) => name === migration.name)) continue;
        migration.up();
        for (const sql of migration.statements) await client.query(sql);
        await client.query(`INSERT INTO ${tableName} (name) VALUES ($1)`, [migration.name]);
      }
      await client.query("COMMIT");
    } finally {
      await client.end();
    }
  }
}
