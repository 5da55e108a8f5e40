/** Passwords of at least 10 characters that guessers try first, in lower case. */
export const commonPasswords: ReadonlySet<string> = new Set(
  `
  0000000000 00000000000 0123456789 0987654321 1010101010 1029384756 1111111111 11111111111 1111111111111
  1122334455 112233445566 1212121212 121212121212 123123123123 1231231231 1234512345 123456123456
  1234567891 12345678910 123456789a 123456789q 123456789z 1234567890 12345678901 123456789012 1234567890q
  1234567890a 12345qwert 1234qwerasdf 123qweasdzxc 123qwe123qwe 1357924680 147258369a 1472583690
  1q2w3e4r5t 1q2w3e4r5t6y 1qaz2wsx3edc 1qazxsw23edc 2222222222 3141592653 5555555555 7777777777 8888888888
  9876543210 9999999999 987654321a a123456789 a1b2c3d4e5 aaaaaaaaaa abc123abc123 abc1234567 abcd123456
  abcd1234abcd abcde12345 abcdefghij abcdef123456 admin12345 admin123456 adminadmin administrator asdfasdfasdf
  asdfghjkl1 asdfghjkl; asdfghjkl123 basketball baseball123 butterfly1 changeme123 changemenow charlie123
  chocolate1 computer123 confidential correcthorsebatterystaple football123 football10 forever123 hello12345
  helloworld iloveyou12 iloveyou123 iloveyou1234 iloveyousomuch india12345 india@1234 leadership letmein123
  letmein1234 liverpool1 liverpoolfc manchester manchester1 michael123 mypassword mypassword1 p@ssw0rd123
  p@ssword123 pass123456 passw0rd123 password01 password10 password11 password12 password123 password123!
  password1234 password12345 password123456 password@1 password@123 passwordpassword princess123 q1w2e3r4t5
  q1w2e3r4t5y6 qazwsxedc1 qazwsxedc123 qazwsxedcrfv qwaszx1234 qwer123456 qwerasdfzxcv qwerty1234 qwerty12345
  qwerty123456 qwertyqwerty qwertyuiop qwertyuiop1 qwertyuiop123 qwertyuiop[] secret1234 secretpassword
  spiderman1 starwars123 sunshine123 superman123 test123456 test1234567 testtest123 testpassword trustno1trustno1
  unbelievable welcome123 welcome1234 welcome@123 whatever123 x123456789 zaq12wsxcde3 zaq1zaq1zaq1 zxcvbnm123
  zxcvbnm1234 zxcvbnmasdfghjkl
  `
    .split(/\s+/)
    .filter((password) => password !== ""),
);
