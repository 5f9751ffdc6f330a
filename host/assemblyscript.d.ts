// The one type of AssemblyScript that assembly/layout.ts needs when tsc reads it.
type u32 = number;
