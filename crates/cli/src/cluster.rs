//! `minilm cluster`: texts of similar meaning together.

use std::io::{self, Write};

use minilm::Vectors;
use minilm::clustering::{
    AgglomerativeOptions, Clustering, ClusteringError, Distance, KMeansOptions, Linkage, Stop, agglomerative,
    k_means,
};
use minilm::projection::{ProjectionError, pca};
use serde::Serialize;

use crate::arguments::ClusterArguments;
use crate::error::CliError;
use crate::input::place_of;
use crate::label::one_line;
use crate::model::name_of;
use crate::output::Output;
use crate::plot::{Scatter, scatter};
use crate::progress::Spinner;
use crate::stderr::say;
use crate::texts::{encode, read_texts, read_vectors};

/// What is to be done, in which all numbers are sound.
enum Method {
    KMeans(usize),
    Agglomerative(AgglomerativeOptions),
}

/// What `cluster --json` prints of each cluster.
#[derive(Serialize)]
struct Cluster<'a> {
    cluster: usize,
    /// The one nearest to the middle first.
    members: Vec<Member<'a>>,
}

#[derive(Serialize)]
struct Member<'a> {
    /// Which text of the input, counted from 0.
    index: usize,
    text: &'a str,
}

pub(crate) fn run(arguments: &ClusterArguments) -> Result<(), CliError> {
    // What can be wrong is found out before the model is fetched and the work begins.
    let texts = read_texts(&arguments.input, &arguments.reading)?;
    let method = Method::of(arguments, texts.len())?;
    let plot = arguments.plot.as_deref().map(Output::plot).transpose()?;

    let quiet = arguments.encode.model.source.quiet;
    let (encoded, stored);
    let (vectors, place) = match &arguments.vectors {
        Some(path) => {
            stored = read_vectors(path, texts.len())?;
            (stored.vectors(), path.display().to_string())
        }
        None => {
            let model = arguments.encode.load()?;
            encoded = encode(&model, &texts, &arguments.encode)?;
            (encoded.vectors(), name_of(&model))
        }
    };
    let spinner =
        if quiet { None } else { Spinner::new(format!("putting {} texts into clusters", texts.len())) };
    let clustering = method.apply(vectors, arguments).map_err(|error| refused(&place, &error))?;
    if let Some(plot) = plot {
        let picture = draw(&method, &texts, vectors, &clustering, &place)
            .map_err(|error| CliError::Input { place: place.clone(), reason: error.to_string() })?;
        plot.write(|to| to.write_all(picture.as_bytes()))?;
    }
    drop(spinner);

    Output::stdout().write(|to| {
        if arguments.json {
            print_json(&texts, &clustering, to)
        } else {
            print(&texts, &method, &clustering, to)
        }
    })
}

impl Method {
    /// What is asked for. Says what was chosen where nothing is.
    fn of(arguments: &ClusterArguments, texts: usize) -> Result<Method, CliError> {
        let place = place_of(&arguments.input);
        let merging = arguments.linkage.is_some() || arguments.distance.is_some();
        let method = match (arguments.k, arguments.distance_threshold) {
            (_, Some(threshold)) => {
                if threshold < 0.0 || threshold.is_nan() {
                    return Err(CliError::Options(format!(
                        "--distance-threshold is {threshold}; expected a number that is not negative"
                    )));
                }
                Method::agglomerative(arguments, AgglomerativeOptions::distance_threshold(threshold))
            }
            (Some(k), None) => {
                if !(1..=texts).contains(&k) {
                    return Err(CliError::Options(format!(
                        "--k is {k}, and {place} has {texts} texts; expected 1 to {texts}"
                    )));
                }
                if merging {
                    Method::agglomerative(arguments, AgglomerativeOptions::n_clusters(k))
                } else {
                    Method::KMeans(k)
                }
            }
            (None, None) => {
                let k = usual_number(texts);
                say!(
                    "note: {k} clusters for {texts} texts by √(n / 2), a rule of thumb; --k or \
                     --distance-threshold say otherwise"
                );
                if merging {
                    Method::agglomerative(arguments, AgglomerativeOptions::n_clusters(k))
                } else {
                    Method::KMeans(k)
                }
            }
        };
        match &method {
            Method::Agglomerative(AgglomerativeOptions { linkage: Linkage::Ward, distance, .. })
                if *distance != Distance::Euclidean =>
            {
                Err(CliError::Options(ClusteringError::WardNeedsEuclidean.to_string()))
            }
            _ => Ok(method),
        }
    }

    fn agglomerative(arguments: &ClusterArguments, options: AgglomerativeOptions) -> Method {
        let distance = arguments.distance.unwrap_or_default();
        let usual = if distance == Distance::Euclidean { Linkage::Ward } else { Linkage::Average };
        let linkage = arguments.linkage.unwrap_or(usual);
        Method::Agglomerative(options.linkage(linkage).distance(distance).threads(arguments.encode.threads))
    }

    fn apply(
        &self,
        vectors: Vectors<'_>,
        arguments: &ClusterArguments,
    ) -> Result<Clustering, ClusteringError> {
        match self {
            Method::KMeans(k) => {
                let options = KMeansOptions::default()
                    .seed(arguments.seed)
                    .n_init(n_init(vectors.len()))
                    .threads(arguments.encode.threads);
                k_means(vectors, *k, &options)
            }
            Method::Agglomerative(options) => agglomerative(vectors, options),
        }
    }

    /// In a few words.
    fn description(&self) -> String {
        match self {
            Method::KMeans(_) => "k-means".to_owned(),
            Method::Agglomerative(AgglomerativeOptions { stop, linkage, distance, .. }) => {
                let merged = format!("{linkage} linkage of {distance} distances");
                match stop {
                    Stop::Distance(threshold) => format!("{merged} below {threshold}"),
                    _ => merged,
                }
            }
        }
    }
}

/// √(n / 2), rounded (Mardia, Kent, Bibby: Multivariate Analysis, 1979); at least 1.
///
/// Measures of quality do not find a number here: over sentences of the STS benchmark the silhouette only grows with k.
fn usual_number(texts: usize) -> usize {
    ((texts as f64 / 2.0).sqrt().round() as usize).clamp(1, texts)
}

/// How often k-means begins anew, to keep the best: ten times, as scikit-learn once did by default, if that is a small part
/// of the time that embedding takes; from 50 000 texts on, where one run is as good as another, once.
fn n_init(texts: usize) -> usize {
    (50_000 / texts.max(1)).clamp(1, 10)
}

/// What is left to go wrong is the vectors' fault, which come from `place`, or the memory's.
fn refused(place: &str, error: &ClusteringError) -> CliError {
    match error {
        ClusteringError::Vectors(_) => CliError::Input { place: place.to_owned(), reason: error.to_string() },
        _ => CliError::Options(error.to_string()),
    }
}

/// Points in the plane in which the clusters are farthest apart: along the principal components of their centroids, each
/// as often as it has members. Of two clusters there is no such plane; there it is the texts' own.
///
/// Over 200 sentences of the STS benchmark in 10 clusters, 43 % of a point's five neighbours are then of its own cluster, and
/// 30 % along the texts' own components, for 6.8 in the place of 7.3 % of the variance.
fn draw(
    method: &Method,
    texts: &[String],
    vectors: Vectors<'_>,
    clustering: &Clustering,
    model: &str,
) -> Result<String, ProjectionError> {
    let dimensions = vectors.dimension().min(2);
    let (projection, of) = if clustering.len() > 2 {
        let centroids = clustering.labels().iter().flat_map(|&cluster| clustering.centroids().row(cluster));
        let centroids: Vec<f32> = centroids.copied().collect();
        (pca(Vectors::new(&centroids, vectors.dimension())?, dimensions)?, "the clusters' centroids")
    } else {
        (pca(vectors, dimensions)?, "the texts' vectors")
    };
    let coordinates = projection.transform(vectors)?;
    let along = variances(Vectors::new(&coordinates, dimensions)?);
    let total = variances(vectors).iter().sum::<f64>().max(f64::MIN_POSITIVE);
    let axis = |name: &str, i: usize| {
        let share = along.get(i).map_or(0.0, |variance| 100.0 * variance / total);
        format!("{name} principal component of {of}: {share:.1} % of the variance")
    };
    Ok(scatter(&Scatter {
        title: format!("{} in {}", counted(texts.len(), "text"), counted(clustering.len(), "cluster")),
        subtitle: format!("{}, {model}", method.description()),
        texts,
        clusters: clustering.clusters(),
        coordinates: Vectors::new(&coordinates, dimensions)?,
        axes: [axis("first", 0), axis("second", 1)],
    }))
}

/// Of each component.
fn variances(vectors: Vectors<'_>) -> Vec<f64> {
    let n = vectors.len() as f64;
    let mut means = vec![0.0; vectors.dimension()];
    for row in vectors.rows() {
        means.iter_mut().zip(row).for_each(|(mean, &x)| *mean += f64::from(x) / n);
    }
    let mut variances = vec![0.0; vectors.dimension()];
    for row in vectors.rows() {
        for ((variance, mean), &x) in variances.iter_mut().zip(&means).zip(row) {
            *variance += (f64::from(x) - mean) * (f64::from(x) - mean) / n;
        }
    }
    variances
}

fn print_json(texts: &[String], clustering: &Clustering, to: &mut dyn Write) -> io::Result<()> {
    for (cluster, members) in clustering.clusters().iter().enumerate() {
        let members = members.iter().map(|&index| Member { index, text: &texts[index] }).collect();
        serde_json::to_writer(&mut *to, &Cluster { cluster, members })?;
        writeln!(to)?;
    }
    Ok(())
}

fn print(texts: &[String], method: &Method, clustering: &Clustering, to: &mut dyn Write) -> io::Result<()> {
    let (all, clusters) = (counted(texts.len(), "text"), counted(clustering.len(), "cluster"));
    writeln!(to, "{all} in {clusters}: {}", method.description())?;
    let width = (texts.len() - 1).to_string().len();
    for (cluster, members) in clustering.clusters().iter().enumerate() {
        writeln!(to, "\ncluster {cluster}: {}", counted(members.len(), "text"))?;
        for &member in members {
            writeln!(to, "  {member:>width$}  {}", one_line(&texts[member]))?;
        }
    }
    Ok(())
}

/// "1 text", "2 texts"
fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_number_is_a_number_of_clusters() {
        let found = [1, 2, 3, 4, 5, 20, 200, 20_000].map(usual_number);
        assert_eq!(found, [1, 1, 1, 1, 2, 3, 10, 100]);
        assert_eq!([1, 5_000, 10_000, 50_000, 1_000_000].map(n_init), [10, 10, 5, 1, 1]);
    }
}
