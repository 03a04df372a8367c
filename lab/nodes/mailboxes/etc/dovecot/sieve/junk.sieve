# A provider's dislike, at the sender's wish: a test can have its message put where users do not look.
require ["fileinto"];
if header :is "X-Lab-Junk" "yes" {
    fileinto "Junk";
}
