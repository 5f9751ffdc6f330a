// The specs of the core: `npx asp --config tests/assembly/as-pect.config.js --as-config tests/assembly/as-pect.asconfig.json`.
export default {
  entries: ['tests/assembly/*.spec.ts'],
  include: ['node_modules/@as-pect/assembly/assembly/index.ts'],
  disclude: [/^node_modules/],
  async instantiate(memory, createImports, instantiate, binary) {
    return instantiate(binary, createImports({ env: { memory } }));
  },
  outputBinary: false,
};
