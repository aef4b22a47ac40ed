// What a template is read into: functions that run in a frame of names, and write to it.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "text/jinja/value.h"

namespace kvcomm::jinja {

// The names that one tag's inside sets; what is not set here is looked for outside.
struct Scope {
  Scope* outside = nullptr;
  std::vector<std::pair<std::string, Value>> names;

  void set(const std::string& name, Value value);
};

// One rendering: all its scopes live as long as it, since macros keep theirs.
struct Rendering {
  std::map<std::string, Value> variables;
  std::deque<Scope> scopes;
  int line = 1;   // where it is, for failures
  int depth = 0;  // of macros within macros
};

struct Frame {
  Rendering& rendering;
  Scope* scope;
  std::string* out;
  const Value* caller = nullptr;  // of a {% call %}

  Frame inside() const;
  Value find(const std::string& name) const;
};

using Expression = std::function<Value(Frame&)>;
// What follows an expression: an attribute, a call, a filter, a test.
using Step = std::function<Value(Frame&, const Value&)>;

Expression constant(Value value);
Values all_of(const std::vector<Expression>& expressions, Frame& frame);

enum class Flow { kOn, kBreak, kContinue };
using Statement = std::function<Flow(Frame&)>;
using Block = std::vector<Statement>;

Flow run(const Block& block, Frame& frame);
// What the block writes.
std::string written(const Block& block, Frame& frame);

// Where a value goes: a name, a namespace's attribute, or several targets.
struct Target {
  std::string name;
  std::string attribute;        // "": the name itself
  std::vector<Target> several;  // one value each
  bool is_several = false;

  void set(Frame& frame, const Value& value) const;
};

struct ForLoop {
  Target target;
  Expression over, condition;  // condition: may be none
  Block body, otherwise;
  bool recursive = false;

  Flow run(Frame& frame, const Value& items, int depth) const;
};

struct Macro {
  std::string name;
  std::vector<std::pair<std::string, Expression>> parameters;  // with their defaults, or none
  Block body;
  bool takes_caller = false, takes_named = false, takes_more = false;  // by the names it reads
};

// The macro as a value that remembers the frame's scope. It must outlive the rendering.
Value bind(const Macro& macro, Frame& frame);

}  // namespace kvcomm::jinja
