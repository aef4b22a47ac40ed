// The values that a Jinja template computes with, as Python's: what they are worth, how they are
// printed, compared, looked into and reckoned with. Lists and dictionaries never change
// (transformers' sandbox forbids it); only namespaces do.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace kvcomm::jinja {

// What the template asks for cannot be had: in Jinja an exception too, or nothing that this program
// follows.
struct TemplateError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// A name or an attribute that is not there, with the sentence for who needs its value.
struct Undefined {
  std::string complaint;
};

struct None {};

struct Text {
  std::string bytes;    // UTF-8
  bool markup = false;  // made by `safe` or `escape`: + escapes what it is joined to
};

struct Sequence;
struct Dict;
struct Object;

using ValueBase =
    std::variant<Undefined, None, bool, int64_t, double, Text, std::shared_ptr<Sequence>,
                 std::shared_ptr<Dict>, std::shared_ptr<Object>>;

struct Value : ValueBase {
  using ValueBase::ValueBase;
  Value(std::string text) : ValueBase(Text{std::move(text)}) {}
  Value(std::string_view text) : Value(std::string(text)) {}
  Value(const char* text) : Value(std::string(text)) {}
  Value(int number) : ValueBase(static_cast<int64_t>(number)) {}

  template <typename T>
  bool is() const {
    return std::holds_alternative<T>(*this);
  }
  // The text's bytes; nullptr of anything else.
  const std::string* text() const;
  const Sequence* sequence() const;
  const Dict* dict() const;
};

using Values = std::vector<Value>;

struct Sequence {
  enum class Kind {
    kList,
    kTuple,
    kRange,
    kView,       // of a dictionary's keys, values or items
    kGenerator,  // can be gone through once: what map, select, reverse and their like return
  };
  Kind kind = Kind::kList;
  Values items;
  size_t used = 0;   // how many a generator has given away
  std::string name;  // a view's: dict_items; how a range is printed
};

struct Dict {
  std::vector<std::pair<Value, Value>> items;
  const Value* find(const Value& key) const;
  void set(const Value& key, Value value);
};

struct Arguments {
  Values positional;
  std::vector<std::pair<std::string, Value>> named;
};

// What has attributes of its own or can be called: functions, macros, namespaces, `loop`.
struct Object {
  virtual ~Object() = default;
  virtual std::optional<Value> attribute(std::string_view) const { return std::nullopt; }
  virtual bool callable() const { return false; }
  virtual Value call(const Arguments&);
};

struct Function : Object {
  explicit Function(std::function<Value(const Arguments&)> run) : body(std::move(run)) {}
  bool callable() const override { return true; }
  Value call(const Arguments& arguments) override { return body(arguments); }
  std::function<Value(const Arguments&)> body;
};

struct Namespace : Object {
  std::optional<Value> attribute(std::string_view name) const override;
  std::vector<std::pair<std::string, Value>> items;
  void set(const std::string& name, Value value);
};

Value make_sequence(Sequence::Kind kind, Values items, std::string name = "");
Value make_list(Values items);
Value make_tuple(Values items);
Value make_generator(Values items);
Value make_function(std::function<Value(const Arguments&)> body);

// ---- what a value is

std::string type_name(const Value& value);    // Python's: "str", "NoneType"
bool truth(const Value& value);               // bool()
std::string to_text(const Value& value);      // str(); fails for what Python prints by address
std::string repr(const Value& value);         // repr()
std::string repr(double number);              // the shortest digits that read back the same
bool equal(const Value& a, const Value& b);   // ==
int compare(const Value& a, const Value& b);  // < 0, 0, > 0; fails where Python has no order
int64_t length(const Value& value);           // len()
Values iterate(const Value& value);           // all its items; a generator's, once
bool contains(const Value& all, const Value& item);  // item in all
bool is_integer(const Value& value);                 // an int or a bool
int64_t to_integer(const Value& value);              // of an int or a bool; fails for all else

// ---- what is in it: Undefined where nothing is

Value item(const Value& value, const Value& key);              // value[key]
Value attribute(const Value& value, const std::string& name);  // value.name
// value[start:stop:step]; fails for what has no slices
Value slice(const Value& value, const Value& start, const Value& stop, const Value& step);
// The attributes a.b.0 of the filters: names and places between dots.
Value path_item(const Value& value, const Value& path);

// ---- reckoning, by the operator's spelling: + - * / // % **

Value reckon(std::string_view operation, const Value& a, const Value& b);
Value negate(const Value& value);

std::string escape_html(std::string_view text);

// Fails for a text of more bytes than any prompt: templates can double one again and again.
void require_short(double bytes);

}  // namespace kvcomm::jinja
