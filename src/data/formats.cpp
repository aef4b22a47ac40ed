#include "data/formats.h"

namespace kvcomm {

Sample read_countries(const Record& record) {
  return {.id = record.id("id"),
          .contexts = {record.text("prompt_A")},
          .question = record.text("prompt_B"),
          .answers = {record.text("y")}};
}

Sample read_tipsheets(const Record& record) {
  return {.id = record.id("id"),
          .contexts = {record.text("prompt_A")},
          .question = record.text("prompt_B"),
          .answers = {record.text("label")}};
}

Sample read_demo(const Record& record) {
  return {.id = record.id("id"),
          .contexts = {record.text("context")},
          .question = record.text("question"),
          .answers = record.texts("answers")};
}

}  // namespace kvcomm
