// store_seal_lines: reads JSON objects, a line each, and writes each as a journal has it, with the
// hash that belongs to it as its last field.
#include <iostream>
#include <string>

#include "base/hash.h"

int main() {
  for (std::string line; std::getline(std::cin, line);) {
    line.pop_back();  // the closing brace
    std::cout << line << ",\"xxh3\":\"" << kvcomm::hash64_hex(line) << "\"}\n";
  }
}
