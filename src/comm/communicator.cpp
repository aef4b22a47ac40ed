#include "comm/communicator.h"

#include <mpi.h>
#include <spdlog/spdlog.h>

#include <cstdlib>
#include <numeric>

#include "base/error.h"

namespace kvcomm {

void Deadline::fail_expired() const {
  fail(Exit::kEnvironment,
       "Waited {:.3g} s for {} from {}, in vain. If the work is only slow, raise "
       "run.timeout_s; otherwise look for what happened there.",
       timeout_s_, what_, whom_);
}

namespace {

constexpr Seconds kBodyTimeout = 600;  // for a message whose beginning is here already

// The one place where MPI's return codes are read; `call` names the function.
void check(int code, const char* call) {
  if (code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING];
  int length = 0;
  if (MPI_Error_string(code, text, &length) != MPI_SUCCESS) length = 0;
  fail(Exit::kEnvironment, "{} failed with code {}: {}", call, code,
       std::string_view(text, static_cast<size_t>(length)));
}

// For destructors, which must not throw.
void check_or_log(int code, const char* call) noexcept {
  try {
    check(code, call);
  } catch (const Error& error) {
    spdlog::error("{}", error.what());
  }
}

bool mpi_is_running() {
  int initialized = 0, finalized = 0;
  MPI_Initialized(&initialized);
  MPI_Finalized(&finalized);
  return initialized != 0 && finalized == 0;
}

int mpi_source(int source) { return source == Communicator::kAnySource ? MPI_ANY_SOURCE : source; }

int mpi_count(size_t bytes) {
  if (bytes > Communicator::kMaxBytes) {
    fail(Exit::kInternal, "A message of {} bytes is over MPI's limit of {}: send it in parts.",
         bytes, Communicator::kMaxBytes);
  }
  return static_cast<int>(bytes);
}

}  // namespace

MpiEnv::MpiEnv(int& argc, char**& argv) {
  int provided = MPI_THREAD_SINGLE;
  check(MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &provided), "MPI_Init_thread");
  if (provided < MPI_THREAD_MULTIPLE) {
    MPI_Finalize();
    fail(
        Exit::kEnvironment,
        "This MPI library serves several threads at level {}, and kvcomm needs MPI_THREAD_MULTIPLE "
        "({}): use an MPI that was built with it.",
        provided, MPI_THREAD_MULTIPLE);
  }
  check(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  check(MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
}

MpiEnv::~MpiEnv() {
  if (mpi_is_running()) check_or_log(MPI_Finalize(), "MPI_Finalize");
}

std::string mpi_version() {
#ifdef OMPI_MAJOR_VERSION
  return "openmpi@" + std::to_string(OMPI_MAJOR_VERSION) + "." +
         std::to_string(OMPI_MINOR_VERSION) + "." + std::to_string(OMPI_RELEASE_VERSION);
#else
  return "mpi@" + std::to_string(MPI_VERSION) + "." + std::to_string(MPI_SUBVERSION);
#endif
}

void abort_job(int code) {
  spdlog::default_logger()->flush();
  if (mpi_is_running()) MPI_Abort(MPI_COMM_WORLD, code);
  std::_Exit(code);
}

// ---- Transfer

struct Transfer::Impl {
  MPI_Request request = MPI_REQUEST_NULL;
  std::shared_ptr<const void> owner;
  bool is_receive = false;
  size_t received_bytes = 0;
};

Transfer::Transfer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Transfer::Transfer(Transfer&&) noexcept = default;
Transfer& Transfer::operator=(Transfer&&) noexcept = default;

Transfer::~Transfer() {
  if (!impl_ || impl_->request == MPI_REQUEST_NULL || !mpi_is_running()) return;
  try {
    if (impl_->is_receive) {
      check(MPI_Cancel(&impl_->request), "MPI_Cancel");
      if (Deadline(1, "", "").wait([&] { return done(); })) return;
    }
    new std::shared_ptr<const void>(std::move(impl_->owner));  // never freed, on purpose
  } catch (const std::exception& error) {
    spdlog::error("{}", error.what());
  }
}

bool Transfer::done() {
  if (impl_->request == MPI_REQUEST_NULL) return true;
  int flag = 0;
  MPI_Status status;
  check(MPI_Test(&impl_->request, &flag, &status), "MPI_Test");
  if (flag == 0) return false;
  if (impl_->is_receive) {
    int count = 0;
    check(MPI_Get_count(&status, MPI_BYTE, &count), "MPI_Get_count");
    impl_->received_bytes = static_cast<size_t>(count);
  }
  impl_->owner.reset();
  return true;
}

size_t Transfer::received_bytes() const { return impl_->received_bytes; }

// ---- Communicator

struct Communicator::Impl {
  MPI_Comm comm = MPI_COMM_NULL;
  int rank = 0, size = 0;

  // Takes over a communicator just made.
  explicit Impl(MPI_Comm made) : comm(made) {
    check(MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
    check(MPI_Comm_rank(comm, &rank), "MPI_Comm_rank");
    check(MPI_Comm_size(comm, &size), "MPI_Comm_size");
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl() {
    if (mpi_is_running()) check_or_log(MPI_Comm_free(&comm), "MPI_Comm_free");
  }

  // Waits for a collective operation whose buffers `owner` holds.
  void complete(MPI_Request request, std::shared_ptr<const void> owner, const Deadline& deadline) {
    Transfer transfer(std::make_unique<Transfer::Impl>(Transfer::Impl{request, std::move(owner)}));
    deadline.require([&] { return transfer.done(); });
  }
};

Communicator::Communicator(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Communicator::Communicator(Communicator&&) noexcept = default;
Communicator& Communicator::operator=(Communicator&&) noexcept = default;
Communicator::~Communicator() = default;

Communicator Communicator::world() {
  MPI_Comm made = MPI_COMM_NULL;
  check(MPI_Comm_dup(MPI_COMM_WORLD, &made), "MPI_Comm_dup");
  return Communicator(std::make_unique<Impl>(made));
}

Communicator Communicator::duplicate() const {
  MPI_Comm made = MPI_COMM_NULL;
  check(MPI_Comm_dup(impl_->comm, &made), "MPI_Comm_dup");
  return Communicator(std::make_unique<Impl>(made));
}

Communicator Communicator::split(int color, int key) const {
  MPI_Comm made = MPI_COMM_NULL;
  check(MPI_Comm_split(impl_->comm, color, key, &made), "MPI_Comm_split");
  return Communicator(std::make_unique<Impl>(made));
}

Communicator Communicator::split_by_node() const {
  MPI_Comm made = MPI_COMM_NULL;
  check(MPI_Comm_split_type(impl_->comm, MPI_COMM_TYPE_SHARED, rank(), MPI_INFO_NULL, &made),
        "MPI_Comm_split_type");
  return Communicator(std::make_unique<Impl>(made));
}

void Communicator::set_name(const std::string& name) {
  check(MPI_Comm_set_name(impl_->comm, name.c_str()), "MPI_Comm_set_name");
}

int Communicator::rank() const { return impl_->rank; }
int Communicator::size() const { return impl_->size; }

Transfer Communicator::start_send(std::span<const std::byte> bytes,
                                  std::shared_ptr<const void> owner, int to, int tag) {
  auto transfer = std::make_unique<Transfer::Impl>();
  transfer->owner = std::move(owner);
  check(MPI_Isend(bytes.data(), mpi_count(bytes.size()), MPI_BYTE, to, tag, impl_->comm,
                  &transfer->request),
        "MPI_Isend");
  return Transfer(std::move(transfer));
}

Transfer Communicator::start_receive(std::span<std::byte> bytes, std::shared_ptr<const void> owner,
                                     int from, int tag) {
  auto transfer = std::make_unique<Transfer::Impl>();
  transfer->owner = std::move(owner);
  transfer->is_receive = true;
  check(MPI_Irecv(bytes.data(), mpi_count(bytes.size()), MPI_BYTE, mpi_source(from), tag,
                  impl_->comm, &transfer->request),
        "MPI_Irecv");
  return Transfer(std::move(transfer));
}

void Communicator::send(std::string_view bytes, int to, int tag, const Deadline& deadline) {
  auto copy = std::make_shared<const std::string>(bytes);  // outlives this call if time runs out
  Transfer transfer = start_send(std::as_bytes(std::span(*copy)), copy, to, tag);
  deadline.require([&] { return transfer.done(); });
}

std::optional<Received> Communicator::poll(int tag, int from) {
  MPI_Message message = MPI_MESSAGE_NULL;
  MPI_Status status;
  int found = 0;
  check(MPI_Improbe(mpi_source(from), tag, impl_->comm, &found, &message, &status), "MPI_Improbe");
  if (found == 0) return std::nullopt;
  int count = 0;
  check(MPI_Get_count(&status, MPI_BYTE, &count), "MPI_Get_count");
  auto bytes = std::make_shared<std::string>(static_cast<size_t>(count), '\0');
  auto body = std::make_unique<Transfer::Impl>();
  body->owner = bytes;
  body->is_receive = true;
  check(MPI_Imrecv(bytes->data(), count, MPI_BYTE, &message, &body->request), "MPI_Imrecv");
  Transfer transfer(std::move(body));
  Deadline(kBodyTimeout, "the rest of a message that has begun to arrive",
           fmt::format("rank {}", status.MPI_SOURCE))
      .require([&] { return transfer.done(); });
  return Received{status.MPI_SOURCE, std::move(*bytes)};
}

Received Communicator::receive(int from, int tag, const Deadline& deadline) {
  std::optional<Received> received;
  deadline.require([&] { return (received = poll(tag, from)).has_value(); });
  return std::move(*received);
}

std::vector<std::string> Communicator::all_gather(std::string_view bytes,
                                                  const Deadline& deadline) {
  struct Buffers {
    std::string mine, all;
    std::vector<int> counts, starts;
    int count = 0;
  };
  auto buffers = std::make_shared<Buffers>();
  buffers->mine = bytes;
  buffers->count = mpi_count(bytes.size());
  buffers->counts.resize(static_cast<size_t>(size()));
  MPI_Request request = MPI_REQUEST_NULL;
  check(MPI_Iallgather(&buffers->count, 1, MPI_INT, buffers->counts.data(), 1, MPI_INT, impl_->comm,
                       &request),
        "MPI_Iallgather");
  impl_->complete(request, buffers, deadline);

  const size_t total = std::accumulate(buffers->counts.begin(), buffers->counts.end(), size_t{0});
  mpi_count(total);  // the places below are int too
  buffers->all.resize(total);
  buffers->starts.resize(buffers->counts.size());
  std::exclusive_scan(buffers->counts.begin(), buffers->counts.end(), buffers->starts.begin(), 0);
  check(MPI_Iallgatherv(buffers->mine.data(), buffers->count, MPI_BYTE, buffers->all.data(),
                        buffers->counts.data(), buffers->starts.data(), MPI_BYTE, impl_->comm,
                        &request),
        "MPI_Iallgatherv");
  impl_->complete(request, buffers, deadline);

  std::vector<std::string> texts;
  for (size_t r = 0; r < buffers->counts.size(); ++r) {
    texts.push_back(buffers->all.substr(static_cast<size_t>(buffers->starts[r]),
                                        static_cast<size_t>(buffers->counts[r])));
  }
  return texts;
}

void Communicator::barrier(const Deadline& deadline) {
  MPI_Request request = MPI_REQUEST_NULL;
  check(MPI_Ibarrier(impl_->comm, &request), "MPI_Ibarrier");
  impl_->complete(request, nullptr, deadline);
}

}  // namespace kvcomm
