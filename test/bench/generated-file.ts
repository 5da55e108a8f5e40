/** A file of any length, written while it is read. */
export function* generatedFile(rows: number): Generator<string> {
  yield "Prospect ID,First Name,Last Name,Email,Phone,Company,Lead Source,City,TotalVisits,Converted,Do Not Email,Signed up\n";
  for (let from = 0; from < rows; from += 1000) {
    let lines = "";
    for (let i = from; i < Math.min(from + 1000, rows); i++)
      lines += `gen-${i},First${i % 997},Last${i % 4999},lead${i}@example.com,+91 98${String(i).padStart(8, "0")},Company ${i % 20_011},${["Google", "Referral", "Olark Chat", ""][i % 4]},${["Mumbai", "Pune", "Select"][i % 3]},${i % 17},${i % 3 === 0 ? 1 : 0},${i % 9 === 0 ? "Yes" : "No"},2024-0${1 + (i % 9)}-15\n`;
    yield lines;
  }
}
